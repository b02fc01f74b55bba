"""The class atlas: how the classes of several datasets relate, as one pretrained network sees them."""
