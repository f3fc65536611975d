"""What one inference of a network costs, beside its analog twin and networks of the field."""
