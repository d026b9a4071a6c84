"""The cases of h2spec, by its sections: what is sent, and what has to come of it."""
