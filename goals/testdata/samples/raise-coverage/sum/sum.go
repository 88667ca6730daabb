// Package sum adds.
package sum

// Of adds numbers.
func Of(ns ...int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
}
