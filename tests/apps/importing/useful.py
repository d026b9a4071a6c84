def work(number):
    return b"%d" % number
