"""One module a face of the read API; every face calls the same question modules beside this folder."""
