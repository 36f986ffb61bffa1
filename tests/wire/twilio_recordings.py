"""Messages as Twilio sends them, with the SIDs made up and the audio replaced."""

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
CALL_SID = "CA" + "fedcba9876543210" * 2
STREAM_SID = "MZ" + "00112233445566778899aabbccddeeff"

FRAME = bytes(range(160))
FRAME_BASE64 = (
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVW"
    "V1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2enw=="
)

CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
START = (
    f'{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"{ACCOUNT_SID}","streamSid":"{STREAM_SID}",'
    f'"callSid":"{CALL_SID}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,'
    f'"channels":1}},"customParameters":{{"token":"b7.x_-","stream_no":"1"}}}},"streamSid":"{STREAM_SID}"}}'
)
MEDIA = (
    '{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"102","payload":"'
    f'{FRAME_BASE64}"}},"streamSid":"{STREAM_SID}"}}'
)
DTMF = f'{{"event":"dtmf","streamSid":"{STREAM_SID}","sequenceNumber":"57","dtmf":{{"track":"inbound_track","digit":"5"}}}}'
MARK = f'{{"event":"mark","sequenceNumber":"91","streamSid":"{STREAM_SID}","mark":{{"name":"t7-42"}}}}'
STOP = (
    f'{{"event":"stop","sequenceNumber":"812","streamSid":"{STREAM_SID}",'
    f'"stop":{{"accountSid":"{ACCOUNT_SID}","callSid":"{CALL_SID}"}}}}'
)
