"""TRL's SFTTrainer on chat rows as its README shows it: one epoch, batch 16, LoRA r=16 all-linear, lr 1e-3 falling to
zero, answers supervised, bf16. With TEST rows it then answers them greedily and counts exact matches.
usage: trl_sft.py MODEL_FOLDER TRAIN.jsonl OUT [TEST.jsonl]"""
import json
import resource
import sys
import time

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

path, train_file, out = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(path)
rows = load_dataset("json", data_files=train_file, split="train")
rows = rows.map(lambda r: {"prompt": r["messages"][:-1], "completion": r["messages"][-1:]}, remove_columns=["messages"])
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
args = SFTConfig(output_dir=out, per_device_train_batch_size=16, num_train_epochs=1, learning_rate=1e-3, lr_scheduler_type="linear",
                 logging_steps=10, save_strategy="no", report_to="none", bf16=True, use_cpu=True, max_length=512,
                 gradient_checkpointing=False, seed=0, dataloader_pin_memory=False, disable_tqdm=True)
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
trainer = SFTTrainer(model=model, args=args, train_dataset=rows, peft_config=lora, processing_class=tokenizer)
tokens = sum(len(x["input_ids"]) for x in trainer.train_dataset)
start = time.perf_counter()
trainer.train()
seconds = time.perf_counter() - start
result = {"seconds": seconds, "tokens": tokens, "tokens_per_s": tokens / seconds,
          "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}
print(json.dumps(result), flush=True)
if len(sys.argv) > 4:
    model = trainer.model.eval()
    tokenizer.padding_side = "left"
    test = [json.loads(line) for line in open(sys.argv[4])]
    right = 0
    with torch.no_grad():
        for i in range(0, len(test), 20):
            part = test[i:i + 20]
            text = [tokenizer.apply_chat_template(r["messages"][:-1], add_generation_prompt=True, tokenize=False) for r in part]
            prompts = tokenizer(text, return_tensors="pt", padding=True, add_special_tokens=False)
            answers = model.generate(**prompts, max_new_tokens=16, do_sample=False)
            for row, answer in zip(part, answers):
                text = tokenizer.decode(answer[prompts.input_ids.shape[1]:], skip_special_tokens=True)
                right += text.strip() == row["messages"][-1]["content"]
    print(json.dumps({"exact_match": right / len(test)}), flush=True)
