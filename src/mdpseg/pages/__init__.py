"""What the HTML pages share: one file each, which loads nothing from anywhere."""
