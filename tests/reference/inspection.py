"""What ``stereo inspect`` counts, event by event in plain Python."""


def slow_tally(blocks, width, height, span_us, bins, bin_us):
    """Return counts, events per pixel ``{(x, y): n}`` and per bin, of blocks (t, x, y, p)."""
    counts = dict.fromkeys(("seen", "outside", "on", "unsorted", "duplicates"), 0)
    image, rate, latest, before = {}, [0] * bins, {}, None
    for block in blocks:
        for t, x, y, p in zip(*block, strict=True):
            if before is not None and t < before:
                counts["unsorted"] += 1
            before = t
            if x >= width or y >= height:
                counts["outside"] += 1
                continue
            counts["seen"] += 1
            counts["on"] += bool(p)
            # Equal to the last event of this pixel and sign: in sorted events, to any earlier one.
            counts["duplicates"] += latest.get((x, y, p)) == t
            latest[x, y, p] = t
            image[x, y] = image.get((x, y), 0) + 1
            rate[min(max((t - span_us[0]) // bin_us, 0), bins - 1)] += 1
    return counts, image, rate
