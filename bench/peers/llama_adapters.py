"""llama-server with eight streams: on the base, on one adapter, on eight different ones. All three a turn, tokens/s of
all streams together. q and k rows of the adapters are not permuted as llama.cpp would want: this measures speed, not text.
usage: llama_adapters.py BIN_DIR MODEL.gguf PEFT_ADAPTER WORK_FOLDER TOKENS"""
import concurrent.futures
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request

import gguf
from safetensors.torch import load_file

import turns

binaries, model, adapter, work = sys.argv[1:5]
count = int(sys.argv[5])
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
tensors = load_file(os.path.join(adapter, "adapter_model.safetensors"))
with open(os.path.join(adapter, "adapter_config.json")) as f:
    alpha = float(json.load(f)["lora_alpha"])
flags = []
for i in range(8):
    path = os.path.join(work, f"lora{i}.gguf")
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", alpha)
    for key, value in tensors.items():
        layer, rest = key.split("layers.")[1].split(".", 1)
        half = "lora_a" if "lora_A" in key else "lora_b"
        w.add_tensor(f"blk.{layer}.{NAMES[rest.rsplit('.lora_', 1)[0]]}.weight.{half}", value.float().numpy() * (1 + 0.001 * i))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    flags += ["--lora", path]
s = socket.socket()
s.bind(("127.0.0.1", 0))
port = s.getsockname()[1]
s.close()
server = subprocess.Popen([os.path.join(binaries, "llama-server"), "-m", model, "--host", "127.0.0.1", "--port", str(port),
                           "-t", str(os.cpu_count()), "-c", "16384", "-np", "8", "--lora-init-without-apply", *flags],
                          env=dict(os.environ, LD_LIBRARY_PATH=binaries), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
random.seed(1)
ids = [random.randrange(1000, 40000) for _ in range(128)]


def one(i, lora, n):
    body = dict(prompt=ids[i * 16:i * 16 + 16], n_predict=n, ignore_eos=True, cache_prompt=False, temperature=0,
                lora=[] if lora is None else [dict(id=lora, scale=1.0)])
    request = urllib.request.Request(f"http://127.0.0.1:{port}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=600))


def eight(loras):
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: one(i, loras[i], count), range(8)))
    return 8 * count / (time.perf_counter() - start)


try:
    for attempt in range(300):
        try:
            one(0, None, 1)
            break
        except OSError:
            if server.poll() is not None or attempt == 299:
                raise
            time.sleep(0.2)
    turns.serve(lambda: {"base": eight([None] * 8), "one_adapter": eight([0] * 8), "eight_adapters": eight(list(range(8)))})
finally:
    server.terminate()
    server.wait()
