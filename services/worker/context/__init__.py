"""What the model is shown of a run: a view of its history that fits the model's window.

The history itself is append-only and never changed. The view is made anew for each turn, in this order of sacrifice:
old answers are masked to a line and a pointer, then old turns become lines of an outline, at last even the newest
answers are shortened. The goal, the plan, the steps and what is left of the budget come from the run's state, whole,
in each view.
"""
