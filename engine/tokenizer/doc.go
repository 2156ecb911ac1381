// Package tokenizer turns text into token ids and back, exactly as the model's own tokenizer does.
//
// It reads the tokenizer.json of Hugging Face (Load, Parse) and the vocabularies inside GGUF and llama2.c files
// (FromVocab). Text flows through added tokens, normaliser, pre-tokeniser, model and post-processor; ids flow
// back through the decoder. Byte offsets into the caller's text survive every step.
//
// Text that is not valid UTF-8 is read as if every maximal ill-formed sequence were U+FFFD, which is what the
// reference implementation's callers do before they reach it; offsets still count the caller's bytes.
package tokenizer
