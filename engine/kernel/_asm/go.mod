module hone/engine/kernel/_asm

go 1.26.0
