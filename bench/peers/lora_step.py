"""PyTorch + PEFT: LoRA steps on random tokens, all of them supervised. One step a turn.
usage: lora_step.py MODEL_FOLDER f32|bf16 BATCH LENGTH RANK"""
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import turns

path, dtype = sys.argv[1:3]
batch, length, rank = map(int, sys.argv[3:6])
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(path, dtype={"f32": torch.float32, "bf16": torch.bfloat16}[dtype])
vocabulary = model.config.vocab_size
lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
model = get_peft_model(model, lora).train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4)
run = torch.compile(model)


def step():
    ids = torch.randint(0, vocabulary, (batch, length))
    start = time.perf_counter()
    run(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds = time.perf_counter() - start
    return {"tokens_per_s": batch * length / seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


for _ in range(2):
    step()
turns.serve(step)
