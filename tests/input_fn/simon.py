"""The order computed a second time, in plain integers: Simon as a cycle-walking permutation.

Source: Beaulieu et al., "The SIMON and SPECK Families of Lightweight Block Ciphers" (2013), with
three key words, cut to half the block; Black and Rogaway, "Ciphers with Arbitrary Finite Domains".
"""

import hashlib

ROUND_CONSTANT = 0xFFFFFFFC
SEQUENCE = 0x7369F885192C0EF5


def permuted(index, key, max_index, rounds=16):
    """Map an index in [0, max_index] to its place."""
    if max_index == 0:
        return 0
    bits = max(16, (max_index - 1).bit_length())  # the smallest b with 2**b >= max_index
    half = (bits + bits % 2) // 2
    keys = round_keys(key, half, rounds)
    while True:
        index = encrypted(index, keys, half)
        if index <= max_index:
            return index


def round_keys(key, half, rounds):
    limit = (1 << half) - 1
    keys = [word & limit for word in key]
    for i in range(rounds - 3):
        previous = keys[-1]
        keys.append(
            (ROUND_CONSTANT & limit)
            ^ (((SEQUENCE & limit) >> i) & 1)
            ^ keys[-3]
            ^ rotated(previous, half - 3, half)
            ^ rotated(previous, half - 4, half)
        )
    return keys


def encrypted(value, keys, half):
    left, right = (value >> half) & ((1 << half) - 1), value & ((1 << half) - 1)
    for first, second in zip(keys[::2], keys[1::2]):
        left ^= mixed(right, half) ^ first
        right ^= mixed(left, half) ^ second
    return (left << half) | right


def mixed(word, half):
    return (rotated(word, 1, half) & rotated(word, 8 % half, half)) ^ rotated(word, 2, half)


def rotated(word, by, half):
    return ((word << by) | (word >> (half - by))) & ((1 << half) - 1)


def seed_words(seed, stream):
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") & (2**31 - 1) for i in (0, 4)]


def record_at(position, records, seed):
    """Tell which record stands at a global position."""
    epoch, within = divmod(position, records)
    first, second = seed_words(seed, "order")
    return permuted(within, (first + (epoch >> 8), second + (epoch >> 16), epoch), records - 1)
