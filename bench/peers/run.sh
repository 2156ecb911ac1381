#!/usr/bin/env bash
# Measures hone against PyTorch + PEFT, TRL and llama.cpp: sets them up where they are not, then runs the same work on
# each in turn and writes bench/peers.json after each round. Half an hour on two cores, set-up not counted; no part but TRL
# in full takes ten minutes. Run it on a quiet machine.
#
#   HONE_PEERS   folder of the peers, outside the repository (default: hone-peers in the user's cache)
#   HONE_MODEL   the .gguf (default: smollm2-135m-instruct, pulled into hone's cache)
#   HONE_TEXT    text to follow the banking messages in the divergence (default: stories that ship with hone)
#   ONLY=a,b     some parts; the others' results stay: lora_bf16 lora_f32 (both: lora) prefill decode (both: inference)
#                adapters trl beside products train_shapes divergence
#   FULL=1       TRL on all 2,000 rows of banking77 with accuracy, about 20 minutes: nohup lets it go on in the background
#   QUICK=1      little work, one round, into a file that is thrown away: shows that everything runs
#   OUT          the file to write (default: bench/peers.json)
set -euo pipefail
cd "$(dirname "$0")/../.."
model="${HONE_MODEL:-}"
if [ -z "$model" ]; then
  home="${HONE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/hone}"
  ./hone pull smollm2-135m-instruct
  model="$(find "$home/models/smollm2-135m-instruct" -name '*.gguf' | head -1)"
fi
peers="$(bench/peers/setup.sh "$model" | tail -1)"
if [ -n "${HONE_TEXT:-}" ]; then
  HONE_TEXT="$(realpath "$HONE_TEXT")"
  export HONE_TEXT
fi
options=()
[ -z "${FULL:-}" ] || options+=(--full)
if [ -n "${QUICK:-}" ]; then
  options+=(--quick)
  OUT="${OUT:-$(mktemp -d)/peers.json}"
fi
[ -z "${ONLY:-}" ] || options+=(--only "$ONLY")
exec "$peers/venv/bin/python" bench/peers/compare.py --hone "$PWD/hone" --model "$(realpath "$model")" --peers "$(realpath "$peers")" \
  --out "${OUT:-bench/peers.json}" "${options[@]}"
