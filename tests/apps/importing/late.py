def work():
    return None
