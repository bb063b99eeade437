// Shows openapi.json of this very server. Nothing is asked of any other: no validator badge, no font, no map.
SwaggerUIBundle({
  url: new URL("openapi.json", window.location.href).href,
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false, // a token typed in here is gone with the page
  tryItOutEnabled: true,
  validatorUrl: null,
});
