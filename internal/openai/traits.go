package openai

// maxTrait bounds a name or a reason that is kept of an answer.
const maxTrait = 128

// AnswerModel is the model that an answer, or the first event of a stream, says that it is from; empty if it does not say. It reads no
// further than it must. In the streams of Responses and of Messages the model stands one level deeper.
func AnswerModel(data []byte) string {
	s := &scanner{data: data}
	return answerModel(s, true)
}

func answerModel(s *scanner, outer bool) string {
	if s.peek() != '{' {
		s.walk()
		return ""
	}
	for s.enterObject(); s.nextMember(); {
		switch key := string(s.key); {
		case key == "model":
			return trait(s.span())
		case outer && (key == "message" || key == "response"):
			if model := answerModel(s, false); model != "" {
				return model
			}
		default:
			s.walk()
		}
	}
	return ""
}

// FinishReasons are the reasons for which an answer, or an event of a stream, says that choices have ended, in their order.
func FinishReasons(data []byte) []string {
	s := &scanner{data: data}
	return finishReasons(s, nil)
}

// finishReasons looks where the reasons stand: in the choices, or, in Anthropic's answers and events, at the top or in the delta.
func finishReasons(s *scanner, found []string) []string {
	if s.peek() != '{' {
		s.walk()
		return found
	}
	for s.enterObject(); s.nextMember(); {
		switch string(s.key) {
		case "finish_reason", "stop_reason":
			if reason := trait(s.span()); reason != "" {
				found = append(found, reason)
			}
		case "choices":
			if s.peek() != '[' {
				s.walk()
				continue
			}
			for s.enterArray(); s.nextElement(); {
				found = finishReasons(s, found)
			}
		case "delta":
			found = finishReasons(s, found)
		default:
			s.walk()
		}
	}
	return found
}

// trait is the value of a string that is short enough for a name; empty for anything else.
func trait(value []byte) string {
	if len(value) < 2 || value[0] != '"' || len(value) > maxTrait {
		return ""
	}
	return decodeString(value)
}
