"""The forms of a report, one module each, and what they share (text, rows, document)."""
