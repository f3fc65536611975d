"""``stereo search``: spaces, tasks, budgets and methods brought together."""
