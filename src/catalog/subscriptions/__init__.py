"""Subscriptions: who is told of changes of objects, event by event, and how far each of them is.

What happened stands in the audit table; a trigger of the database queues, in the transaction of a change, which object
each subscription has to be told of. `shapes` is what is told, `holding` is what owners do, `telling` what the indexer
needs, `streams` the way into NATS and `exchanges` the one into AMQP, which `publishing` makes one of. Knows nothing of
HTTP.
"""
