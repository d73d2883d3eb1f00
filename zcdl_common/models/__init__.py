"""Networks with weights: the only code that imports torch or tensorflow."""
