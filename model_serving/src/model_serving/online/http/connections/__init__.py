"""HTTP as it comes, below `/inference` and the pages: what one connection may hold, and how many there may be."""
