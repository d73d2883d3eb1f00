"""Single-molecule localisation microscopy: frames, their simulation, positions, and images drawn of them."""
