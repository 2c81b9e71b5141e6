package openai

import "bytes"

// fewNames is up to how many keys of an object are compared one by one; beyond it a map keeps a hostile object from costing the square of
// its size.
const fewNames = 16

// nameStack holds the keys that have been seen of each object that is being read.
type nameStack struct {
	names  [][]byte
	frames []nameFrame
}

type nameFrame struct {
	start int // where the object's keys begin in names
	fold  bool
	many  map[string]struct{} // all keys of the object, once there are more than fewNames
}

func (n *nameStack) clear() { n.names, n.frames = n.names[:0], n.frames[:0] }

func (n *nameStack) push(fold bool) {
	n.frames = append(n.frames, nameFrame{start: len(n.names), fold: fold})
}

func (n *nameStack) pop() {
	last := len(n.frames) - 1
	n.names = n.names[:n.frames[last].start]
	n.frames = n.frames[:last]
}

// add notes a key of the innermost object and reports whether it is new to it.
func (n *nameStack) add(name []byte) bool {
	frame := &n.frames[len(n.frames)-1]
	if frame.fold {
		name = foldName(name)
	}
	if frame.many == nil {
		seen := n.names[frame.start:]
		for _, other := range seen {
			if bytes.Equal(other, name) {
				return false
			}
		}
		n.names = append(n.names, name)
		if len(seen) < fewNames {
			return true
		}
		frame.many = make(map[string]struct{}, 4*fewNames)
		for _, other := range n.names[frame.start:] {
			frame.many[string(other)] = struct{}{}
		}
		return true
	}
	if _, seen := frame.many[string(name)]; seen {
		return false
	}
	frame.many[string(name)] = struct{}{}
	return true
}
