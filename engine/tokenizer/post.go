package tokenizer

import (
	"encoding/json"
	"slices"
)

// postSpec is the union of the fields of every post-processor of tokenizer.json.
type postSpec struct {
	Type          string
	Processors    []rawNode
	Single        []rawNode
	SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
	Sep, Cls      rawNode
}

// templatePart is one item of TemplateProcessing's list.
type templatePart struct {
	SpecialToken *struct{ ID string }
	Sequence     *struct{ ID string }
}

// parsePost returns the ids that go before and after a single text.
func parsePost(n node) (before, after []int32, err error) {
	if n.null() {
		return nil, nil, nil
	}
	var s postSpec
	if err := n.decode(&s); err != nil {
		return nil, nil, err
	}
	switch s.Type {
	case "ByteLevel": // changes offsets alone
		return nil, nil, nil
	case "TemplateProcessing":
		return s.template(n)
	case "RobertaProcessing", "BertProcessing":
		cls, err := s.pair(n, "cls", s.Cls)
		if err != nil {
			return nil, nil, err
		}
		sep, err := s.pair(n, "sep", s.Sep)
		return []int32{cls}, []int32{sep}, err
	case "Sequence":
		for i, raw := range s.Processors {
			b, a, err := parsePost(n.child("processors", i, raw))
			if err != nil {
				return nil, nil, err
			}
			before, after = slices.Concat(b, before), append(after, a...)
		}
		return before, after, nil
	}
	return nil, nil, n.errorf("post-processor type %q is not supported; supported are BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing", s.Type)
}

// template splits the ids of a single text's template at the text.
func (s postSpec) template(n node) (before, after []int32, err error) {
	seen := false
	for i, raw := range s.Single {
		item := n.child("single", i, raw)
		var part templatePart
		if err := item.decode(&part); err != nil {
			return nil, nil, err
		}
		switch {
		case part.Sequence != nil && seen:
			return nil, nil, item.errorf("the text stands in the template twice")
		case part.Sequence != nil:
			seen = true
		case part.SpecialToken != nil:
			token, ok := s.SpecialTokens[part.SpecialToken.ID]
			if !ok {
				return nil, nil, item.errorf("special_tokens lacks %.100q", part.SpecialToken.ID)
			}
			if seen {
				after = append(after, token.IDs...)
			} else {
				before = append(before, token.IDs...)
			}
		default:
			return nil, nil, item.errorf("want a SpecialToken or a Sequence")
		}
	}
	if !seen {
		return nil, nil, n.errorf("single: the text is not in the template")
	}
	return before, after, nil
}

// pair reads ["token", id].
func (s postSpec) pair(n node, field string, raw rawNode) (int32, error) {
	var token string
	var id int32
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) != 2 || json.Unmarshal(list[0], &token) != nil || json.Unmarshal(list[1], &id) != nil || id < 0 {
		return 0, n.errorf(`%s: want ["token", id]`, field)
	}
	return id, nil
}
