"""From a folder of pictures to something worth training on: looking, captions, copies, masks, pairs. No torch."""
