import part_of_heavy

ballast = bytearray(b"x") * (8 << 20)


def work():
    return len(part_of_heavy.ballast)
