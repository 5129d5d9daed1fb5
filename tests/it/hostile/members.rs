//! Members with a valid token who try to stop, read or burden others.
