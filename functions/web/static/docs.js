// Shows this server's openapi.json. It loads nothing from other servers: no validator badge, font or source map.
SwaggerUIBundle({
  url: new URL("openapi.json", window.location.href).href,
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false, // a token entered here is forgotten when the page closes
  tryItOutEnabled: true,
  validatorUrl: null,
});
