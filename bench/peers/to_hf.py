"""The GGUF of a Llama-shaped model as an f32 Hugging Face folder, which is what PyTorch trains.
usage: to_hf.py MODEL.gguf OUT"""
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

model, out = sys.argv[1:]
folder, name = os.path.split(os.path.abspath(model))
source = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
skip = ("quantization_config", "_name_or_path", "_model_name_or_path")
config = LlamaConfig(**{k: v for k, v in source.config.to_dict().items() if k not in skip})
target = LlamaForCausalLM(config).float()
target.load_state_dict(source.state_dict())
target.tie_weights()
target.save_pretrained(out)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out)
# transformers drops the Digits step of SmolLM2's pre-tokenizer when it reads the GGUF.
path = os.path.join(out, "tokenizer.json")
with open(path) as f:
    tokenizer = json.load(f)
byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]}
with open(path, "w") as f:
    json.dump(tokenizer, f, ensure_ascii=False)
