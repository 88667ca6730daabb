package memory

// Holds says whether searches see any item of the namespaces; without one, of all. It asks no embedder.
func (s *Store) Holds(spaces ...Namespace) (bool, error) {
	n, err := s.view()
	if err != nil {
		return false, err
	}
	defer n.release()
	masks, err := n.masks(spaces, nil)
	if err != nil {
		return false, err
	}
	for i := range len(n.segs) + 1 {
		m := n.live(i)
		if masks != nil {
			m = masks[i]
		}
		if m.count() > 0 {
			return true, nil
		}
	}
	return false, nil
}
