// SPDX-License-Identifier: MIT

package mix

// A history is what is remembered in one byte of the bits that came in some context:
// how many zeros and ones there were, lately, and which came last, if there were
// both. What a history foretells is learnt by a [Prob] for each of the 256.
//
// When a bit comes, its count goes up by one, and that of the other, if more than
// two, comes down to a third of it and four thirds: what came long ago counts less
// than what came lately.
type history struct{ zeros, ones, last uint8 }

// most[m] is the larger count, at most, of a history whose smaller count is m.
var most = [...]uint8{40, 24, 12, 6, 5, 5}

func (h history) allowed() bool {
	small, large := min(h.zeros, h.ones), max(h.zeros, h.ones)
	return int(small) < len(most) && large <= most[small]
}

// after returns the history when one more bit has come.
func (h history) after(bit uint8) history {
	same, other := h.zeros, h.ones
	if bit == 1 {
		same, other = h.ones, h.zeros
	}
	same++
	if other > 2 {
		other = (other + 4) / 3
	}
	for {
		n := history{zeros: same, ones: other}
		if bit == 1 {
			n = history{zeros: other, ones: same}
		}
		if same > 0 && other > 0 {
			n.last = bit
		}
		if n.allowed() {
			return n
		}
		if same > other {
			same--
		} else {
			other--
		}
	}
}

// Histories are numbered in the order in which a walk from the empty one, zero bit
// before one bit, first meets them.
var (
	histories = listHistories()
	// next[h] are the histories that follow on h with a zero and a one bit.
	next = linkHistories()
)

func listHistories() []history {
	list := []history{{}}
	seen := map[history]bool{{}: true}
	for i := 0; i < len(list); i++ {
		for bit := uint8(0); bit < 2; bit++ {
			if n := list[i].after(bit); !seen[n] {
				seen[n] = true
				list = append(list, n)
			}
		}
	}
	return list
}

func linkHistories() (t [256][2]uint8) {
	number := map[history]uint8{}
	for i, h := range histories {
		number[h] = uint8(i)
	}
	for i, h := range histories {
		t[i] = [2]uint8{number[h.after(0)], number[h.after(1)]}
	}
	return t
}

// forecasts foretell the next bit by the history.
type forecasts [256]forecast

// forecast is a probability with its stretched form, which is there before it is asked for.
type forecast struct {
	prob      Prob
	stretched int32
}

func (f *forecast) set(p Prob) { f.prob, f.stretched = p, p.Stretch() }

// learn moves the probability towards the bit that came.
func (f *forecast) learn(bit int) {
	f.prob.Update(bit, predictorLimit)
	f.stretched = f.prob.Stretch()
}

// reset makes all probabilities what the counts say.
func (t *forecasts) reset() {
	for i := range t {
		t[i].set(NewProb(32768))
		if i < len(histories) {
			h := histories[i]
			n, ones := int32(h.zeros)+int32(h.ones), int32(h.ones)
			t[i].set(NewProb((ones*2 + 1) * 65536 / (n*2 + 2)))
		}
	}
}

// Slot holds the histories of the four bits of half a byte in one context: the one
// of the first bit, then of the second one for each outcome of the first, and so
// on, at 1 to 15. At 0 is a check, which tells contexts from each other that
// share a slot.
type Slot [16]uint8

// Slots is a hash table of slots.
type Slots struct {
	t     []Slot
	shift uint
}

// NewSlots returns a table of 1<<log slots of 16 bytes.
func NewSlots(log uint) *Slots { return &Slots{t: make([]Slot, 1<<log), shift: 32 - log} }

// Find returns the slot of a context, of which hash is a good hash: the one of three
// neighbours that has its check, or else the one of them with the shortest first
// history, which is emptied.
func (s *Slots) Find(hash uint32) *Slot {
	i := hash >> s.shift
	check := uint8(hash)
	a := &s.t[i]
	if a[0] == check {
		return a
	}
	b := &s.t[i^1]
	if b[0] == check {
		return b
	}
	c := &s.t[i^2]
	if c[0] == check {
		return c
	}
	if weight[b[1]] < weight[a[1]] {
		a = b
	}
	if weight[c[1]] < weight[a[1]] {
		a = c
	}
	*a = Slot{check}
	return a
}

// weight is how many bits a history stands for.
var weight = func() (t [256]uint8) {
	for i, h := range histories {
		t[i] = h.zeros + h.ones
	}
	return t
}()

// Add puts a bit behind the history.
func Add(h *uint8, bit int) { *h = next[*h][bit&1] }

// Hash mixes a number into a hash.
func Hash(h, v uint32) uint32 {
	h = (h ^ v) * 0x9e3779b1
	return h ^ h>>15
}
