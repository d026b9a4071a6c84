ballast = bytearray(b"x") * (12 << 20)
