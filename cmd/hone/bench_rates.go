package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"hone/engine"
	"hone/engine/optim"
	"hone/engine/tensor"
	"hone/engine/weights"
)

// benchStep is the optimiser's step in every measurement.
var benchStep = optim.AdamW{LearningRate: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1}

// The chat batch is shaped like banking77: so many rows of so many tokens, a common system prompt, short answers.
const chatRows, chatLength, chatCommon, chatAnswer = 16, 51, 30, 8

func (b *bench) train(ctx context.Context) (err error) {
	b.r.Train, err = b.trainFull(ctx, b.trainingPrecision())
	return err
}

func (b *bench) trainF32(ctx context.Context) (err error) {
	b.r.TrainF32, err = b.trainFull(ctx, tensor.Single)
	return err
}

// trainFull trains rows of random tokens, all of them supervised.
func (b *bench) trainFull(ctx context.Context, prec tensor.Precision) (*benchRate, error) {
	length := min(b.c.Length, b.model.Base.Config().MaxPositions)
	rows := make([]engine.Datum, b.c.Batch)
	for i := range rows {
		rows[i] = benchRow(b.model.Base, i, length, length)
	}
	n := b.c.Batch * length
	return b.trainRows(ctx, prec, rows, n, b.flopTrain(n, n, length))
}

// trainChat trains short chats that begin alike. Its tokens are those of all rows, as the data counts them.
func (b *bench) trainChat(ctx context.Context) (err error) {
	rows := make([]engine.Datum, chatRows)
	for i := range rows {
		rows[i] = benchRow(b.model.Base, i, chatLength, chatAnswer)
		copy(rows[i].Tokens[:chatCommon], rows[0].Tokens)
	}
	least := chatCommon + chatRows*(chatLength-chatCommon) // tokens, if the beginning is computed once
	flop := b.flopTrain(least, chatRows*chatAnswer, chatLength)
	b.r.TrainChat, err = b.trainRows(ctx, b.trainingPrecision(), rows, chatRows*chatLength, flop)
	return err
}

// trainRows measures steps over rows with an adapter on every linear layer. flop is the least work of one.
func (b *bench) trainRows(ctx context.Context, prec tensor.Precision, rows []engine.Datum, tokens int, flop float64) (*benchRate, error) {
	adapter, err := b.adapter(0)
	if err != nil {
		return nil, err
	}
	memory, err := engine.ParseMemory(b.c.Memory, prec)
	if err != nil {
		return nil, err
	}
	trainer, err := engine.NewTrainer(b.model.Base, adapter, engine.TrainerOptions{Packing: true, Precision: prec, Memory: memory})
	if err != nil {
		return nil, err
	}
	times, err := b.times(ctx, nil, func() error { return trainStep(ctx, trainer, rows) })
	if err != nil {
		return nil, err
	}
	rate := rateOf(float64(tokens), times, b.model.Base.Threads())
	rate.Tokens = tokens
	rate.Limit = b.computeLimit(prec, float64(tokens), flop)
	return &rate, nil
}

func trainStep(ctx context.Context, t *engine.Trainer, rows []engine.Datum) error {
	if _, err := t.ForwardBackward(ctx, rows, t.Steps(), nil); err != nil {
		return err
	}
	_, err := t.Step(benchStep)
	return err
}

// adapter makes an untrained adapter on every linear layer.
func (b *bench) adapter(seed uint64) (*engine.Adapter, error) {
	return b.model.Base.NewAdapter(weights.AdapterConfig{R: b.c.Rank, Alpha: float64(2 * b.c.Rank), TargetRegex: weights.AllLinear}, seed)
}

// trainedAdapter makes an adapter that has taken one step, after which its B is not zero.
func (b *bench) trainedAdapter(ctx context.Context, seed int) (*engine.Adapter, error) {
	a, err := b.adapter(uint64(seed))
	if err != nil {
		return nil, err
	}
	t, err := engine.NewTrainer(b.model.Base, a, engine.TrainerOptions{Precision: b.trainingPrecision()})
	if err != nil {
		return nil, err
	}
	if err := trainStep(ctx, t, []engine.Datum{benchRow(b.model.Base, seed, 8, 8)}); err != nil {
		return nil, err
	}
	return a, a.Freeze()
}

// benchRow is a row of random tokens whose last trained ones are supervised.
func benchRow(base *engine.Base, row, length, trained int) engine.Datum {
	d := engine.Datum{Tokens: randomIDs(base, length, uint64(row)), Weights: make([]float32, length), Row: int64(row)}
	for i := length - trained; i < length; i++ {
		d.Weights[i] = 1
	}
	return d
}

// prefill measures how fast a prompt is read, its next token included.
func (b *bench) prefill(ctx context.Context) error {
	base := b.model.Base
	prompt := min(512, base.Config().MaxPositions)
	var streams []*engine.Stream
	times, err := b.times(ctx, func() (err error) {
		closeStreams(streams)
		streams, err = newStreams(base, 1, prompt, nil)
		return err
	}, func() error { return untilToken(ctx, base, streams) })
	closeStreams(streams)
	if err != nil {
		return err
	}
	rate := rateOf(float64(prompt), times, base.Threads())
	rate.Tokens = prompt
	flop := float64(prompt)*(2*b.linears()+b.attention(prompt)) + 2*b.head()
	rate.Limit = b.computeLimit(base.Precision(), float64(prompt), flop)
	b.r.Prefill = &rate
	return nil
}

func (b *bench) decode1(ctx context.Context) (err error) {
	b.r.Decode1, err = b.decode(ctx, 1, nil)
	return err
}

func (b *bench) decode8(ctx context.Context) (err error) {
	b.r.Decode8, err = b.decode(ctx, 8, nil)
	return err
}

// decode8Adapters measures eight streams on as many adapters, each run beside one of the base alone: a machine whose
// speed changes from moment to moment still says what adapters cost.
func (b *bench) decode8Adapters(ctx context.Context) (err error) {
	adapters := make([]*engine.Adapter, 8)
	for i := range adapters {
		if adapters[i], err = b.trainedAdapter(ctx, i); err != nil {
			return fmt.Errorf("adapter %d: %w", i, err)
		}
	}
	alone, mixed := b.decoding(ctx, 8, nil), b.decoding(ctx, 8, adapters)
	defer alone.end()
	defer mixed.end()
	times, err := b.inTurn(ctx, alone.timed, mixed.timed)
	if err != nil {
		return err
	}
	b.r.Decode8Adapters = b.decodeRate(8, adapters, times[1])
	shares := make([]float64, b.c.Runs)
	for i := range shares {
		shares[i] = times[0].seconds[i] / times[1].seconds[i]
	}
	share := spread(shares)
	b.r.AdaptersOfBase = &share
	return nil
}

// decode measures how fast so many streams together write after prompts of 16 tokens, each with its adapter.
func (b *bench) decode(ctx context.Context, n int, adapters []*engine.Adapter) (*benchRate, error) {
	d := b.decoding(ctx, n, adapters)
	defer d.end()
	times, err := b.times(ctx, d.prepare, d.run)
	if err != nil {
		return nil, err
	}
	return b.decodeRate(n, adapters, times), nil
}

// decoding is one measured work of decoding: prepare reads the prompts, run writes the answers, end lets go.
type decoding struct {
	timed
	end func()
}

// decoding makes the work of n streams, each with its adapter.
func (b *bench) decoding(ctx context.Context, n int, adapters []*engine.Adapter) decoding {
	base := b.model.Base
	var streams []*engine.Stream
	out := make([]engine.Token, n)
	return decoding{
		timed: timed{
			prepare: func() (err error) {
				closeStreams(streams)
				if streams, err = newStreams(base, n, 16, adapters); err != nil {
					return err
				}
				return untilToken(ctx, base, streams)
			},
			run: func() error {
				for range b.answer() {
					if err := base.Decode(ctx, streams, out); err != nil {
						return err
					}
				}
				return nil
			},
		},
		end: func() { closeStreams(streams) },
	}
}

// answer is how many tokens each stream of a run of decoding writes.
func (b *bench) answer() int {
	if b.c.Quick {
		return 8
	}
	return 128
}

// decodeRate is the figure of so many streams' runs.
func (b *bench) decodeRate(n int, adapters []*engine.Adapter, times timings) *benchRate {
	rate := rateOf(float64(n*b.answer()), times, b.model.Base.Threads())
	rate.Tokens = n * b.answer()
	rate.Limit = b.decodeLimit(n, adapters)
	return &rate
}

// newStreams makes streams after random prompts. adapters is nil, or one for each.
func newStreams(base *engine.Base, n, prompt int, adapters []*engine.Adapter) ([]*engine.Stream, error) {
	streams := make([]*engine.Stream, 0, n)
	for i := range n {
		var a *engine.Adapter
		if adapters != nil {
			a = adapters[i]
		}
		s, err := base.NewStream(randomIDs(base, prompt, uint64(i)), a, engine.Sampling{})
		if err != nil {
			closeStreams(streams)
			return nil, err
		}
		streams = append(streams, s)
	}
	return streams, nil
}

func closeStreams(streams []*engine.Stream) {
	for _, s := range streams {
		s.Close()
	}
}

// untilToken decodes until every stream has read its prompt and given a token.
func untilToken(ctx context.Context, base *engine.Base, streams []*engine.Stream) error {
	out := make([]engine.Token, len(streams))
	for {
		if err := base.Decode(ctx, streams, out); err != nil {
			return err
		}
		ready := true
		for _, t := range out {
			ready = ready && t.ID >= 0
		}
		if ready {
			return nil
		}
	}
}

// randomIDs returns n token ids, the same for the same stream.
func randomIDs(base *engine.Base, n int, stream uint64) []int32 {
	r := rand.New(rand.NewPCG(1, stream))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = r.Int32N(int32(base.Config().VocabSize))
	}
	return ids
}

// linears is the weights of all adaptable layers, each of which costs a token 2 flop forward.
func (b *bench) linears() (n float64) {
	for _, l := range b.model.Base.Modules() {
		n += float64(l.In) * float64(l.Out)
	}
	return n
}

// head is the weights of the output head.
func (b *bench) head() float64 {
	c := b.model.Base.Config()
	return float64(c.VocabSize) * float64(c.Hidden)
}

// adapterParams is the parameters of one adapter.
func (b *bench) adapterParams() (n float64) {
	for _, l := range b.model.Base.Modules() {
		n += float64(b.c.Rank) * float64(l.In+l.Out)
	}
	return n
}

// attention is the flop of a token's attention forward, on average over a sequence of that length.
func (b *bench) attention(length int) float64 {
	c := b.model.Base.Config()
	return 2 * float64(length) * float64(c.Heads*c.HeadDim*c.Layers)
}

// flopTrain is the least work of a LoRA step: forward and input gradients of the layers, the head at trained
// tokens only, three products for each half of an adapter, and attention backward at twice its forward.
func (b *bench) flopTrain(tokens, trained, length int) float64 {
	each := 4*b.linears() + 6*b.adapterParams() + 3*b.attention(length)
	return float64(tokens)*each + float64(trained)*4*b.head()
}

// computeLimit is the rate at which work of so much flop can run at the measured rate of products, 0 if unknown.
func (b *bench) computeLimit(prec tensor.Precision, work, flop float64) float64 {
	return work * b.r.GFLOPS[limitNames[prec]] * 1e9 / flop
}

// decodeLimit is the lower of two bounds: weights, read once for all streams, and adapters must come from memory,
// and every stream's products must be computed.
func (b *bench) decodeLimit(streams int, adapters []*engine.Adapter) float64 {
	bytes, flop := float64(b.model.Base.Bytes()), float64(streams)*2*(b.linears()+b.head())
	each := 2.0 // bytes of a frozen adapter's parameter, which is in bf16 unless the base computes in f32
	if b.model.Base.Precision() == tensor.Single {
		each = 4
	}
	for _, a := range adapters {
		bytes += each * float64(a.Params())
		flop += 2 * float64(a.Params())
	}
	n := float64(streams)
	return min(n*b.r.Bandwidth*1e9/bytes, b.computeLimit(b.model.Base.Precision(), n, flop))
}

// trainingSpeed is about how many tokens per second LoRA training reaches here, in steps of so many tokens after one
// that is not counted.
func trainingSpeed(ctx context.Context, model *opened, tokens, steps int) (float64, error) {
	b := &bench{c: &benchCommand{Rank: 16, Runs: steps, Precision: engine.AutoPrecision, Memory: engine.AutoMemory}, model: model, r: &benchReport{}}
	length := min(128, tokens, model.Base.Config().MaxPositions)
	b.c.Batch, b.c.Length = max(1, tokens/length), length
	rate, err := b.trainFull(ctx, b.trainingPrecision())
	if err != nil {
		return 0, err
	}
	return rate.Median, nil
}
