"""Models that look at pictures or draw them for a data set: tags, captions, cut-outs, depth, faces, class pictures.

Runs in the trainer's environment as a process of its own, which is gone afterwards, and its memory with it:

python -m tanren.picture_models tag FOLDER --model MODEL …      what `launch.py data tag …` starts

`arguments` and `tag_choice` are light, so that help and the page need none of the heavy packages.
"""
