"""From rows to answers, defined once: encode, run the members, turn their raw outputs into answers.

Everything here works on NumPy arrays without importing torch. What the exported programs and the trainer need
as well (`encoding`, `network_inputs`, `head`) takes torch tensors too.
"""
