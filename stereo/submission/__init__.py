"""Submissions to the DSEC disparity benchmark: written, and checked as strictly as scored."""
