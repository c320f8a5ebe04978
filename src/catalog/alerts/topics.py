"""What is queued about saved searches, in the order in which one leads to the next, and about notices."""

# Have the engine keep, or forget, the query of a search.
SAVED = "saved"
# Ask which searches an object fits.
MATCH = "match"
# See what its owner may see of what fits a search.
ALERT = "alert"
# Ask whoever reads an address whether they want mail there.
CONFIRM = "mail-address"
# Send its owner what was not sent of a search.
TELL = "tell"
# Tell a receiver how a backend is.
NOTICE = "notice"
