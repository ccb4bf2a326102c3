"""What a program does with LiteLLM's callback, unmodified: `litellm_workflow.py`, addresses in the environment."""

import litellm

litellm.success_callback = ["helicone"]

CALLS = {
    "openai/gpt-4o-mini": "/plan/sights",
    "anthropic/claude-sonnet-4-5": "/plan/route",
    "gemini/gemini-2.5-flash": "/plan/hotel",
}

for model, path in CALLS.items():
    litellm.completion(
        model=model,
        messages=[{"role": "user", "content": "Where to in Nürnberg?"}],
        mock_response=f"The castle, says {model}.",
        metadata={
            "Helicone-Session-Id": "trip-litellm",
            "Helicone-Session-Name": "Trip",
            "Helicone-Session-Path": path,
            "Helicone-User-Id": "alice@example.com",
            "Helicone-Property-Environment": "production",
            "user_api_key": "not to be stored",
            "model_info": {"id": 7},
        },
    )

litellm.completion(
    model="openai/gpt-4o-mini",
    messages=[{"role": "user", "content": "And then?"}],
    mock_response="Home.",
    # As its proxy hands on the headers of a request.
    proxy_server_request={
        "headers": {
            "helicone_session_id": "trip-litellm",
            "helicone_session_name": "Trip",
            "helicone_session_path": "/home",
            "helicone_user_id": "bob",
            "helicone_property_team": "travel",
            "authorization": "Bearer not-to-be-stored",
        }
    },
)
