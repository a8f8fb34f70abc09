package main

import (
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
)

// figure is one line of the answer: what was measured on both sides, round by round.
type figure struct {
	name            string
	unit            string
	goal            string
	reference, ours []float64
}

func (f *figure) add(reference, ours float64) {
	f.reference, f.ours = append(f.reference, reference), append(f.ours, ours)
	fmt.Fprintf(os.Stderr, "%s, round %d: reference %.4g, Tokenwire %.4g %s, ratio %.3f\n",
		f.name, len(f.ours), reference, ours, f.unit, ours/reference)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// print writes figures as a table. The ratio is the median of the rounds' own ratios: what slows the machine down for a
// while slows both sides of a round.
func print(figures ...*figure) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tunit\treference\tTokenwire\tratio\tmin\tmax\trounds\tgoal")
	for _, f := range figures {
		ratios := make([]float64, len(f.ours))
		for i := range ratios {
			ratios[i] = f.ours[i] / f.reference[i]
		}
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%.4g\t%.2f\t%.2f\t%.2f\t%d\t%s\n", f.name, f.unit,
			median(f.reference), median(f.ours), median(ratios), slices.Min(ratios), slices.Max(ratios), len(ratios), f.goal)
	}
	w.Flush()
}

// inTurns measures both sides, each first in every other round.
func inTurns(rounds int, f *figure, reference, ours func() (float64, error)) error {
	for round := range rounds {
		first, second := reference, ours
		if round%2 == 1 {
			first, second = ours, reference
		}
		a, err := first()
		if err != nil {
			return err
		}
		b, err := second()
		if err != nil {
			return err
		}
		if round%2 == 1 {
			a, b = b, a
		}
		f.add(a, b)
	}
	return nil
}
