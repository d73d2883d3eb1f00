"""Architectures in plain torch. Each file imports torch alone, since it travels inside exported packages."""
