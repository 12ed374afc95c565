//! What clients did and saw, and whether one server that loses nothing can have answered so.
