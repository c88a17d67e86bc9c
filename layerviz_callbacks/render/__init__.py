"""Arrays in, arrays out: scale, colours, grids, curves, bars, text. Knows NumPy and Pillow only."""
