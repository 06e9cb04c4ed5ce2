"""People that the repository can make: skins, painted garments, hair, loose cloth, light, poses and cameras."""
