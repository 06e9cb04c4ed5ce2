"""The pictures that guide Animate Anyone and Champ: skeletons as annotators draw them, and maps of the body."""
