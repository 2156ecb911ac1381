"""PyTorch's products (oneDNN, MKL) of the shapes hone measures, in f32 and bf16, forward and backward. All shapes a turn,
each the median of three. The shapes come as JSON, as hone bench --only products names them.
usage: matmul.py SHAPES_JSON"""
import json
import sys
import time

import torch

import turns

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def gflops(shape):
    m, k, n, dtype = shape["m"], shape["k"], shape["n"], TYPES[shape["precision"]]
    w = torch.randn(n, k).to(dtype)
    if shape["direction"] == "backward":
        dy = torch.randn(m, n).to(dtype)
        product = lambda: dy @ w
    else:
        x = torch.randn(m, k).to(dtype)
        product = lambda: torch.nn.functional.linear(x, w)
    flop = 2 * m * k * n
    repeat = max(1, int(2e9 / flop))
    product()
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(repeat):
            product()
        rates.append(flop * repeat / (time.perf_counter() - start) / 1e9)
    return sorted(rates)[1]


shapes = json.loads(sys.argv[1])
gflops(shapes[0])
with torch.no_grad():
    turns.serve(lambda: {"gflops": [gflops(s) for s in shapes]})
