-- Let the served generation stand by; the same transaction serves another one.
UPDATE generations SET state = 'standby' WHERE state = 'served'
