raise ImportError("as expected")
