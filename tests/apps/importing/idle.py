CONSTANT = 1


def work():
    return CONSTANT
